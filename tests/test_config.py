"""Settings: work with none given, refuse what is misspelt, never show a key."""

from pathlib import Path

import pytest

from indexer.config import Settings, load_settings
from indexer.errors import ConfigError


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    import os

    for name in list(os.environ):
        if name.startswith("DEAI_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_no_settings_work():
    settings = load_settings()
    assert settings.store_url == "sqlite:///var/deai.sqlite"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_the_environment_and_then_the_command_line_decide(monkeypatch):
    monkeypatch.setenv("DEAI_PORT", "9000")
    monkeypatch.setenv("DEAI_DATABASE_URL", "postgresql://u@h/d")
    assert load_settings().port == 9000
    assert load_settings(port=9001, host=None).port == 9001
    assert load_settings().store_url == "postgresql://u@h/d"


def test_sources_are_a_list_with_commas_or_spaces(monkeypatch):
    monkeypatch.setenv("DEAI_SOURCES", "binance, kraken coinbase")
    assert load_settings().sources == ("binance", "kraken", "coinbase")


def test_an_unknown_setting_is_refused_with_the_closest(monkeypatch):
    monkeypatch.setenv("DEAI_PROT", "9000")
    with pytest.raises(ConfigError, match=r'DEAI_PROT is not a setting\. Did you mean "DEAI_PORT"\?'):
        load_settings()


def test_a_value_that_does_not_fit_names_its_variable(monkeypatch):
    monkeypatch.setenv("DEAI_PORT", "eighty")
    with pytest.raises(ConfigError, match=r"DEAI_PORT: .*eighty"):
        load_settings()


def test_the_demo_has_a_store_of_its_own():
    settings = Settings(data_dir=Path("x"), database_url="postgresql://u@h/real")
    assert settings.for_demo().store_url == "sqlite:///x/demo.sqlite"


def test_keys_are_not_shown(monkeypatch):
    monkeypatch.setenv("DEAI_COINGECKO_API_KEY", "very-secret")
    assert "very-secret" not in repr(load_settings())


def test_every_setting_is_described():
    assert all(field.description for field in Settings.model_fields.values())

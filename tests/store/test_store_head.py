"""A store that is up to date is left alone, without the cost of Alembic."""

import subprocess
import sys

from alembic.config import Config
from alembic.script import ScriptDirectory

from indexer.store.db import MIGRATIONS, current, head, open_store


def test_the_newest_file_is_alembics_head():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == head()


def test_a_new_store_has_no_revision_and_a_migrated_one_the_newest(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/deai.sqlite")
    assert current(store) is None
    store.migrate()
    assert current(store) == head()
    store.close()


def test_migrating_a_store_that_is_up_to_date_imports_no_alembic(tmp_path):
    url = f"sqlite:///{tmp_path}/deai.sqlite"
    store = open_store(url)
    store.migrate()
    store.close()
    code = (
        "import sys\nfrom indexer.store.db import open_store\n"
        "store = open_store(sys.argv[1]); store.migrate(); store.close()\nprint('alembic' in sys.modules)"
    )
    made = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=60, check=True)
    assert made.stdout == "False\n"

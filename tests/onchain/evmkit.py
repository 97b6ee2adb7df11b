"""Real EVM nodes for the tests: anvil from npm, own contracts compiled by Vyper, Multicall3 by its public transaction.

Nothing third-party is kept in the repository: binaries and artifacts come by `npm pack` into `.cache/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import tarfile
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak
from web3 import Web3

from onchain.chains import Chain

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
CONTRACTS = Path(__file__).parent / "contracts"
MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
MULTICALL3_DEPLOYER = "0x05f32B3cC3888453ff71B01135B34FF8e41263F2"
MULTICALL3_HASH = "d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891"
# The public pre-signed creation transaction: RLP head, constructor, [runtime code], signature.
_SIGNED_HEAD = "f90f538085174876e800830f42408080b90f00608060405234801561001057600080fd5b50610ee0806100206000396000f3fe"
_SIGNATURE = (
    "1ca0edce47092c0f398cebf3ffc267f05c8e7076e3b89445e0fe50f6332273d4569b"
    "a01b0b9d000e19b24c5869b0fc3b22b0d6fa47cd63316875cbbd577d76e6fde086"
)
ADMIN_KEY_ACCOUNT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"  # anvil's first unlocked account


def npm_package(name: str, version: str) -> Path:
    """Folder of an unpacked npm package, downloaded once. Skips the test, saying why, where npm cannot."""
    folder = CACHE / "npm" / f"{name.replace('/', '-').removeprefix('@')}-{version}"
    if (folder / "package").is_dir():
        return folder / "package"
    if shutil.which("npm") is None:
        pytest.skip(f"npm is missing, so {name}@{version} cannot be fetched: EVM tests did NOT run")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["npm", "pack", f"{name}@{version}", "--silent"],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    tarballs = sorted(folder.glob("*.tgz"))
    if done.returncode or not tarballs:
        pytest.skip(f"npm pack {name}@{version} failed: EVM tests did NOT run ({done.stderr[-200:]})")
    with tarfile.open(tarballs[0]) as tar:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from Python 3.11.4 on
        tar.extractall(folder, **safely)
    tarballs[0].unlink()
    return folder / "package"


def anvil_binary() -> Path:
    if own := os.environ.get("ANVIL_BIN"):
        return Path(own)
    binary = npm_package("@foundry-rs/anvil-linux-amd64", "1.7.1") / "bin" / "anvil"
    binary.chmod(0o755)
    return binary


def multicall3_runtime() -> bytes:
    """The 3,808 bytes of Multicall3, found inside the anvil binary by their start and checked by their hash."""
    target = CACHE / "multicall3.bin"
    if not target.exists():
        blob = anvil_binary().read_bytes()
        start = blob.find(bytes.fromhex("6080604052600436106100f35760003560e01c80634d2301cc1161008a57"))
        target.write_bytes(blob[start : start + 3808])
    code = target.read_bytes()
    assert keccak(code).hex() == MULTICALL3_HASH
    return code


def compiled(name: str) -> dict[str, Any]:
    """{"abi", "bytecode"} of contracts/<name>.vy, compiled once per content."""
    source = (CONTRACTS / f"{name}.vy").read_text(encoding="utf-8")
    target = CACHE / "vyper" / f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:16]}.json"
    if not target.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from vyper import compile_code

            out = compile_code(source, output_formats=["abi", "bytecode"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"abi": out["abi"], "bytecode": out["bytecode"]}))
    return json.loads(target.read_text())


def free_port() -> int:
    """A free port below those that the system hands out: nobody else's server can take it before anvil does."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Node:
    """One anvil process on 127.0.0.1, driven by plain JSON-RPC; stopped by `close`."""

    def __init__(self, chain_id: int, *options: str, epoch: int = 1) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.chain_id = chain_id
        command = [str(anvil_binary()), "--port", str(self.port), "--chain-id", str(chain_id), "--silent"]
        command += ["--slots-in-an-epoch", str(epoch), "--gas-limit", "300000000", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for _ in range(200):
            try:
                self.rpc("eth_chainId")
                break
            except OSError:
                self._connection.close()
                time.sleep(0.02)  # waiting for another process to listen; bounded
        else:
            self.close()
            raise RuntimeError("anvil did not start")

    def rpc(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def close(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait(10)

    def send(self, data: str, *, to: str | None = None, gas: int = 250_000_000) -> dict[str, Any]:
        tx = {"from": ADMIN_KEY_ACCOUNT, "data": data, "gas": hex(gas), "gasPrice": hex(10**9 * 3)}
        if to:
            tx["to"] = to
        return self._receipt(self.rpc("eth_sendTransaction", tx))

    def _receipt(self, sent: str) -> dict[str, Any]:
        for _ in range(2000):
            receipt = self.rpc("eth_getTransactionReceipt", sent)
            if receipt is not None:
                assert receipt["status"] == "0x1", receipt
                return receipt
            time.sleep(0.002)  # mining is another process; bounded
        raise RuntimeError("transaction was not mined")

    def multicall3(self) -> None:
        """Deploy canonical Multicall3 by its pre-signed transaction."""
        self.rpc("anvil_setBalance", MULTICALL3_DEPLOYER, hex(10**18))
        sent = self.rpc("eth_sendRawTransaction", "0x" + _SIGNED_HEAD + multicall3_runtime().hex() + _SIGNATURE)
        self._receipt(sent)
        assert len(self.rpc("eth_getCode", MULTICALL3, "latest")) == 2 + 2 * 3808

    def deploy(self, name: str, *args: Any) -> Deployed:
        build = compiled(name)
        return self.deploy_raw(build["abi"], build["bytecode"], *args)

    def deploy_raw(self, abi: list[Any], bytecode: str, *args: Any) -> Deployed:
        contract = Web3().eth.contract(abi=abi, bytecode=bytecode)
        data = contract.constructor(*args).data_in_transaction
        return Deployed(self, self.send(data)["contractAddress"], abi)

    def mine(self, blocks: int = 1, *, interval: int = 1) -> None:
        self.rpc("anvil_mine", hex(blocks), hex(interval))

    def block(self, name: str | int = "latest") -> dict[str, Any]:
        return self.rpc("eth_getBlockByNumber", hex(name) if isinstance(name, int) else name, False)

    def chain(self, *urls: str, **changes: Any) -> Chain:
        given = {
            "name": f"test{self.chain_id}",
            "family": "evm",
            "endpoints": urls or (self.url,),
            "identity": hex(self.chain_id),
            "rate_per_s": 1e6,
        }
        return Chain(**{**given, **changes})


class Deployed:
    """A contract on a node: `do` sends a transaction and waits for it, `ask` calls at latest."""

    def __init__(self, node: Node, address: str, abi: list[Any]) -> None:
        self.node, self.address, self.abi = node, Web3.to_checksum_address(address), abi
        self._contract = Web3().eth.contract(address=self.address, abi=abi)

    def do(self, function: str, *args: Any) -> dict[str, Any]:
        return self.node.send(self._contract.encode_abi(function, args=list(args)), to=self.address)

    def ask(self, function: str, *args: Any) -> Any:
        data = self._contract.encode_abi(function, args=list(args))
        raw = self.node.rpc("eth_call", {"to": self.address, "data": data}, "latest")
        kinds = next(
            [o["type"] for o in item["outputs"]]
            for item in self.abi
            if item.get("name") == function and len(item["inputs"]) == len(args)
        )
        values = Web3().codec.decode(kinds, bytes.fromhex(raw[2:]))
        return values[0] if len(values) == 1 else values

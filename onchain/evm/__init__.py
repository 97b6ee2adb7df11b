"""EVM chains: ABI by hand where it is hot, Multicall3, ERC-20, logs, pools and oracles."""

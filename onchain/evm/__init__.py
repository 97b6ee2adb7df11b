"""EVM chains: web3 over the pool, Multicall3 for many reads at once, ERC-20, logs, pools and oracles."""

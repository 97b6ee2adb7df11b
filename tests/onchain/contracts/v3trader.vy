# pragma version ~=0.4.0
# Pays what a Uniswap V3 pool asks for in its callbacks, from its own balance.

interface Token:
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable

interface Pool:
    def token0() -> address: view
    def token1() -> address: view
    def mint(recipient: address, low: int24, high: int24, amount: uint128, data: Bytes[32]) -> (uint256, uint256): nonpayable
    def swap(recipient: address, zero_for_one: bool, amount: int256, limit: uint160, data: Bytes[32]) -> (int256, int256): nonpayable

@external
def add(pool: address, low: int24, high: int24, amount: uint128):
    extcall Pool(pool).mint(self, low, high, amount, b"")

@external
def trade(pool: address, zero_for_one: bool, amount: int256, limit: uint160):
    extcall Pool(pool).swap(self, zero_for_one, amount, limit, b"")

@external
def uniswapV3MintCallback(amount0: uint256, amount1: uint256, data: Bytes[32]):
    if amount0 > 0:
        extcall Token(staticcall Pool(msg.sender).token0()).transfer(msg.sender, amount0)
    if amount1 > 0:
        extcall Token(staticcall Pool(msg.sender).token1()).transfer(msg.sender, amount1)

@external
def uniswapV3SwapCallback(amount0: int256, amount1: int256, data: Bytes[32]):
    if amount0 > 0:
        extcall Token(staticcall Pool(msg.sender).token0()).transfer(msg.sender, convert(amount0, uint256))
    if amount1 > 0:
        extcall Token(staticcall Pool(msg.sender).token1()).transfer(msg.sender, convert(amount1, uint256))

# pragma version ~=0.4.0
# What real tokens do wrong: bytes32 symbol, no decimals(), balanceOf that reverts, totalSupply in short data.

short: public(bool)
supply: uint256

@deploy
def __init__(supply: uint256):
    self.supply = supply

@external
@view
def symbol() -> bytes32:
    return convert(b"ODD", bytes32)

@external
@view
def balanceOf(holder: address) -> uint256:
    raise "no balances here"

@external
def set_short(short: bool):
    self.short = short

@external
@view
@raw_return
def totalSupply() -> Bytes[32]:
    word: bytes32 = convert(self.supply, bytes32)
    if self.short:
        return slice(word, 16, 16)
    return slice(word, 0, 32)

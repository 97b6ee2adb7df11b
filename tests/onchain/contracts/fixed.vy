# pragma version ~=0.4.0
# An implementation without storage: answers constants, so that it works behind a proxy.

SUPPLY: immutable(uint256)

@deploy
def __init__(supply: uint256):
    SUPPLY = supply

@external
@view
def totalSupply() -> uint256:
    return SUPPLY

@external
@view
def decimals() -> uint8:
    return 18

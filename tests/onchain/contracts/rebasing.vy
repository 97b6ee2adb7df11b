# pragma version ~=0.4.0
# A token whose balances and supply grow without a Transfer event.

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

decimals: public(constant(uint8)) = 18
index: public(uint256)
shares: HashMap[address, uint256]
total: uint256

@deploy
def __init__(supply: uint256):
    self.index = 10**18
    self.total = supply
    self.shares[msg.sender] = supply
    log Transfer(sender=empty(address), receiver=msg.sender, value=supply)

@external
@view
def totalSupply() -> uint256:
    return self.total * self.index // 10**18

@external
@view
def balanceOf(holder: address) -> uint256:
    return self.shares[holder] * self.index // 10**18

@external
def rebase(index: uint256):
    self.index = index

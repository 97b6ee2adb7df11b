# pragma version ~=0.4.0
# Forwards everything to an implementation that can be changed.

implementation: address

@deploy
def __init__(implementation: address):
    self.implementation = implementation

@external
def upgrade_to(implementation: address):
    self.implementation = implementation

@external
@payable
@raw_return
def __default__() -> Bytes[1024]:
    return raw_call(self.implementation, msg.data, max_outsize=1024, is_delegate_call=True)

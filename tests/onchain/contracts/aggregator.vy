# pragma version ~=0.4.0
# A price feed with the aggregator interface that can be told to misbehave.

struct Round:
    id: uint80
    answer: int256
    started: uint256
    updated: uint256
    answered_in: uint80

decimals: public(uint8)
description: public(String[32])
minAnswer: public(int192)
maxAnswer: public(int192)
latest: Round

@deploy
def __init__(decimals: uint8, description: String[32]):
    self.decimals = decimals
    self.description = description
    self.minAnswer = 1
    self.maxAnswer = 10**18

@external
@view
def aggregator() -> address:
    return self

@external
def set_bounds(low: int192, high: int192):
    self.minAnswer = low
    self.maxAnswer = high

@external
def set_round(id: uint80, answer: int256, started: uint256, updated: uint256, answered_in: uint80):
    self.latest = Round(id=id, answer=answer, started=started, updated=updated, answered_in=answered_in)

@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    r: Round = self.latest
    return r.id, r.answer, r.started, r.updated, r.answered_in

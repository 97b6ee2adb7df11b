# pragma version ~=0.4.0
# pragma evm-version london
# Our own reader with the aggregate3 interface, put at the Multicall3 address by an eth_call state override where
# Multicall3 is not deployed (or not yet, at the block read). Never deployed. Compiled form: aggregate3.hex.

struct Call3:
    target: address
    allowFailure: bool
    callData: Bytes[512]

struct Result:
    success: bool
    returnData: Bytes[1024]

@external
@view
def aggregate3(calls: DynArray[Call3, 256]) -> DynArray[Result, 256]:
    results: DynArray[Result, 256] = []
    for call: Call3 in calls:
        success: bool = False
        data: Bytes[1024] = b""
        success, data = raw_call(
            call.target, call.callData, max_outsize=1024, is_static_call=True, revert_on_failure=False
        )
        results.append(Result(success=success, returnData=data))
    return results

@external
@view
def getBlockNumber() -> uint256:
    return block.number

@external
@view
def getCurrentBlockTimestamp() -> uint256:
    return block.timestamp

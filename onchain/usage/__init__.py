"""How much a token is used: transfers, active addresses and holders, from the logs of its networks.

`activity` counts one contract between two pins, or every network of a token between two instants.
"""

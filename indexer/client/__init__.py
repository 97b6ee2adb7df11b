"""Reading the index from Python: a server or a local store behind the same methods and typed results.

Place in the flow: beside the command line, a reader. A local store is read through the API itself, called in this
process, so that both ways give the same answers by construction.
"""

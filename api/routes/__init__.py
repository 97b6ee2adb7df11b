"""The addresses under `/v1` and beside it, a file for each noun. A route reads the store and gives an `Answer`."""

"""How an answer is asked for and given: parameters, models, bytes, validators, problems. Routes say what it holds."""

"""How an answer is asked for and given: parameters, paging, formats, tags and problems."""

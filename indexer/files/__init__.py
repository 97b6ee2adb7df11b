"""People's own files: containers → text or columns → stamps and gates → rows → the store; nothing is half written."""

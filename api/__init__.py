"""The index over HTTP: an application over one open store that reads it and changes nothing in it."""

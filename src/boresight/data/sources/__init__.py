"""One file per published format, each turning rows into conversations."""

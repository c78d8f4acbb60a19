"""The stages, each from what a user says of it to a finished run. Command line and library call these."""

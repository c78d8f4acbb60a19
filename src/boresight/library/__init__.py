"""What `import boresight` offers: the stages for a notebook, as `docs/library.md` lists them."""

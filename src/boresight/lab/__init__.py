"""The pocket laboratory: claims of the papers, put to the test on the pocket model.

`experiments.EXPERIMENTS` names them. Each fine-tunes, decodes and scores for real, states its seeds, and says
which published claims it shows and which it does not.
"""

"""The page: `vtoon web`. It asks the pipeline for everything that is drawn (extra [web])."""

"""The road from a folder of drawings to a model for video: its stages, what they cost, what is done already."""

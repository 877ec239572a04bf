"""Looking at scenes, maps and polygons. Nothing here imports torch."""

"""Archives by position: read from a pair on, or image by image in any order."""

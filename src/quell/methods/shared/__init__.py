"""What several methods share; no module of this folder is a method."""

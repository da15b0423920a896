"""The doors: files in, images out, derived files back. Nothing else in Quell touches image files."""

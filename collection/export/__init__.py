"""The release: its columns (codebook), its rows and files, and the check of any folder."""

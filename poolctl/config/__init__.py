"""WORDS: what a topology file may say. It opens, imports and starts nothing but the file itself."""

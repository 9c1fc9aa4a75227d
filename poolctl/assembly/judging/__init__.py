"""The judge finds everything that is wrong with a topology at once, each with its location and a fix.

    gathered settings --> judge --> words known? options valid? combination fits? --> findings, or Parts

Rules refuse combinations (``conflicts`` explains them), and advice warns about unwise ones. The user's code is not
imported.
"""

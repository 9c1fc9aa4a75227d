"""The judge: everything that is wrong with a topology, found at once, each with its place and its fix.

    gathered settings --> judge --> words known? options valid? combination fits? --> findings, or Parts

Rules say no (``misfits`` explains), advice says what will hurt. Nothing is imported that belongs to the user.
"""

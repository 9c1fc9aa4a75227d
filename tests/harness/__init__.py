"""What the tests of whole servers share."""

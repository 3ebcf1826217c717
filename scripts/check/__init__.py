"""Long checks of robustness, too slow for the tests."""

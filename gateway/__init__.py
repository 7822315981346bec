"""One OpenAI-compatible endpoint in front of many accounts at many providers."""

__version__ = "0.1.0"

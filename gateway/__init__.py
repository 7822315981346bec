"""One OpenAI-compatible endpoint in front of many accounts at many providers."""

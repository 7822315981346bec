"""Chat completions, as OpenAI's callers speak, to and from Anthropic's Messages."""

"""The Responses API, as OpenAI's callers speak, to and from Anthropic's Messages. Loaded by the first such call."""

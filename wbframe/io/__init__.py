"""The touching half of wbframe: HTTP, credentials, threads. It decides nothing."""

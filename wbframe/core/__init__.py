"""The deciding half of wbframe: values in, values out; no socket, file, clock or thread."""

{"key_id":"8d3e27de00bb32c5","signature":"iuJX9VxIcF2ytMv8mnz/57eQgC5tP084nqaCBVggyN+ECD43mupwDEaj9/I7ak16PLM/5w79v7WZM0+sko6mAA=="}

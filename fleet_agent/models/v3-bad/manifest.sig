{"key_id":"8d3e27de00bb32c5","signature":"9sMsh9DNBardiZP0FXGiVPKQr2q04N6yjM6FKHkCSuHt3V6ExvehjcrFx72s2MQLSXelAIToMqHoNf9MfsfZAg=="}

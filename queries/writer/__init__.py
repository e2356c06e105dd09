"""Appending rows to the warehouse, each of them once."""

from queries.writer.appender import BigQueryAppender, open_appender
from queries.writer.memory import MemoryAppender
from queries.writer.ports import Appender, AppendTicket

__all__ = ["AppendTicket", "Appender", "BigQueryAppender", "MemoryAppender", "open_appender"]

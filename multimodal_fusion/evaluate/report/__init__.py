"""The report of an evaluation: one HTML file that opens offline, and a Markdown table."""

from .collection import write_collection
from .markdown import markdown_table
from .page import write_report

__all__ = ['markdown_table', 'write_collection', 'write_report']

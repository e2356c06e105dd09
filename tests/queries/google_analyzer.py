"""Google's own GoogleSQL analyzer and reference evaluator (`zetasql` on PyPI), as far as the tests need them.

Compiling its WebAssembly takes most of a minute; the compiled module is kept between runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import wasmtime
import zetasql.core.wasm_client as wasm
from zetasql.api import Analyzer, CatalogBuilder, PreparedQuery, TableBuilder
from zetasql.api.type_factory import TypeFactory
from zetasql.types import AnalyzerOptions, LanguageOptions, TypeKind, ZetaSQLBuiltinFunctionOptions

from queries.dialect.fields import Field

KINDS = {
    "INTEGER": "INT64",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOL",
    "STRING": "STRING",
    "BYTES": "BYTES",
    "TIMESTAMP": "TIMESTAMP",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "DATETIME",
    "NUMERIC": "NUMERIC",
    "JSON": "JSON",
}


class _KeptModule:
    """Stands in for wasmtime's Module: compiles a file once and keeps what came out."""

    folder: Path

    @classmethod
    def from_file(cls, engine: Any, path: str) -> Any:
        """Load a module, from the kept form if there is one."""
        seed = f"{version('wasmtime')} {Path(path).stat().st_size} {path}"
        kept = cls.folder / hashlib.sha256(seed.encode()).hexdigest()
        if not kept.exists():
            compiled = wasmtime.Module.from_file(engine, path).serialize()
            # Test processes run side by side: each writes its own file, and the last one stays.
            fresh = kept.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(compiled)
            fresh.replace(kept)
        return wasmtime.Module.deserialize_file(engine, str(kept))


def _type(field: Field) -> Any:
    if field.type == "RECORD":
        one = TypeFactory.create_struct_type([(f.name, _type(f)) for f in field.fields])
    else:
        one = TypeFactory.create_simple_type(TypeKind[f"TYPE_{KINDS[field.type]}"])
    return TypeFactory.create_array_type(one) if field.mode == "REPEATED" else one


class GoogleAnalyzer:
    """Analyzes statements against tables; evaluates queries without tables.

    Args:
        tables: Name and columns of each table.
        folder: Where the compiled module is kept.
    """

    def __init__(self, tables: Iterable[tuple[str, Sequence[Field]]], folder: Path) -> None:
        _KeptModule.folder = folder
        wasm.Module = _KeptModule
        language = LanguageOptions.maximum_features()
        builder = CatalogBuilder("warehouse")
        for name, fields in tables:
            table = TableBuilder(name)
            for field in fields:
                table = table.add_column(field.name, _type(field))
            builder = builder.add_table(table.build())
        functions = ZetaSQLBuiltinFunctionOptions(language_options=language)
        self._catalog = builder.with_builtin_functions(functions).build()
        self._options = AnalyzerOptions(language_options=language)
        self._options.allow_undeclared_parameters = True
        self._options.default_timezone = "UTC"

    def analyze(self, sql: str, parameters: Iterable[Field] = ()) -> None:
        """Check a statement with typed parameters; raises whatever is wrong with it."""
        declared = [AnalyzerOptions.QueryParameter(name=p.name, type=_type(p)) for p in parameters]
        self._options.query_parameters = declared
        self._options.allow_undeclared_parameters = not declared
        Analyzer(self._options, self._catalog).analyze_statement(sql)

    def evaluate(self, sql: str) -> list[Any]:
        """Run a query with Google's reference implementation; give its rows as protobuf-like values."""
        builder = (
            PreparedQuery.builder()
            .set_sql(sql)
            .set_analyzer_options(self._options)
            .set_catalog(self._catalog)
        )
        with builder.set_catalog(self._catalog).prepare() as query:
            return list(query.execute().content.table_data.row)

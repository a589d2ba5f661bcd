# SPDX-License-Identifier: Apache-2.0
"""Compiled kernels of one device: a module for each source and set of macros, a function for each kernel in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from crypsis.cuda._signature import Parameter, check_arguments, kernels_of
from crypsis.cuda._source import inline_includes

Compile = Callable[[Path, str, Mapping[str, int | str]], Callable[[str], Any]]
"""(source, text with its includes, macros) to what gives a kernel of the module by name."""


@cache
def source_text(source: Path) -> str:
    """The text of a file below kernels/ with its includes; read once a process."""
    return inline_includes(source)


@cache
def _parameters(source: Path) -> dict[str, tuple[Parameter, ...]]:
    return kernels_of(source_text(source))


class Modules:
    """Compiles at first use, once for all threads."""

    def __init__(self, compile_module: Compile) -> None:
        self._compile = compile_module
        self._modules: dict[object, Callable[[str], Any]] = {}
        self._functions: dict[object, Any] = {}
        self._lock = threading.Lock()

    def prepare(
        self,
        source: Path,
        kernel: str,
        args: Sequence[object],
        defines: Mapping[str, int | str],
        owns: Callable[[object], bool],
    ) -> tuple[Any, tuple[Any, ...]]:
        """(function, arguments as it takes them).

        Raises:
            ValueError: no such kernel, or arguments that do not fit it.
            FileNotFoundError: no such source.
        """
        kernels = _parameters(source)
        if kernel not in kernels:
            raise ValueError(
                f"kernels/{source} has no kernel {kernel}: it has {', '.join(kernels) or 'none'}"
            )
        values = check_arguments(kernel, kernels[kernel], args, owns)
        return self._function(source, kernel, defines), values

    def _function(self, source: Path, kernel: str, defines: Mapping[str, int | str]) -> Any:
        module_key = (source, tuple(defines.items()))
        key = (module_key, kernel)
        function = self._functions.get(key)
        if function is None:
            with self._lock:
                if module_key not in self._modules:
                    self._modules[module_key] = self._compile(source, source_text(source), defines)
                function = self._functions.setdefault(key, self._modules[module_key](kernel))
        return function

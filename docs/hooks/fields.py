"""Fields of NamedTuples and of pydantic's models, shown as those of dataclasses, as arguments."""

from typing import Any

from griffe import Attribute, Class, Extension, Function, GriffeLoader, Parameter, ParameterKind, Parameters

KINDS = {"NamedTuple", "BaseModel", "Record"}


class Fields(Extension):
    """Gives these classes the `__init__` that Python gives them when it runs."""

    def on_class(self, *, cls: Class, loader: GriffeLoader, **kwargs: Any) -> None:
        """Add it to one of them."""
        if not KINDS & {str(base) for base in cls.bases}:
            return
        members = [member for member in cls.members.values() if isinstance(member, Attribute)]
        fields = [field for field in members if field.annotation and "property" not in field.labels]
        arguments = [parameter(field.name, field.annotation, field.value) for field in fields]
        init = Function("__init__", parent=cls, lineno=0, endlineno=0, returns="None")
        init.parameters = Parameters(parameter("self"), *arguments)
        cls.set_member("__init__", init)


def parameter(name: str, annotation: Any = None, default: Any = None) -> Parameter:
    """One that may be given by its place or by its name."""
    kind = ParameterKind.positional_or_keyword
    return Parameter(name, annotation=annotation, kind=kind, default=default)

"""Classes with one instance."""

from typing import Any, ClassVar


class Singleton(type):
    """Metaclass: calling the class again returns the same instance.

    ``Singleton.delete(cls)`` forgets the instance; a test that makes an application calls it at the end.
    """

    _instances: ClassVar[dict[type, Any]] = {}

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the instance, made by the first call."""
        if cls not in cls._instances:
            cls._instances[cls] = super().__call__(*args, **kwargs)
        return cls._instances[cls]

    @staticmethod
    def delete(singleton_cls: type) -> None:
        """Forget the instance of *singleton_cls*.

        Raises:
            KeyError: there is none.
        """
        del Singleton._instances[singleton_cls]

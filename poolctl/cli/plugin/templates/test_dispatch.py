"""MyPart keeps the contract of all strategies."""

from poolctl.testing import DispatchContract
from my_part import MyPart


class TestMyPart(DispatchContract):
    strategy = MyPart

"""Bookings: what may be promised (`rules`, pure), from what (`outlook`), and the rows and events of promises.

Nothing here writes a table of the station: that a truck has come is read from its swap.
"""

from swap.commerce.bookings.offers import Ask as Ask
from swap.commerce.bookings.offers import offers as offers
from swap.commerce.bookings.store import ask_booking as ask_booking
from swap.commerce.bookings.store import cancel_booking as cancel_booking
from swap.commerce.bookings.store import change_booking as change_booking
from swap.commerce.bookings.store import make_booking as make_booking
from swap.commerce.bookings.store import tend_bookings as tend_bookings
from swap.commerce.bookings.wanted import Wanted as Wanted
from swap.ids import new_id as new_id

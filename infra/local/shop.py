"""The sample database: a shop whose orders reach up to now, so that "last hour" and "yesterday" always have rows.

Time is cut into slots of 30 s, and what happened in a slot is a pure function of its number. A database that was left
alone for a week and one that was kept open hold the same rows; only where they begin differs.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

SLOT_SECONDS = 30
HISTORY_SLOTS = 14 * 24 * 3600 // SLOT_SECONDS
CUSTOMERS = 400
# How often a running stack adds the slots that are over.
REFRESH_SECONDS = 10.0

# Share of slots with an order, by hour of the day in UTC: the shop sleeps, but never so long that an hour stays empty.
BUSY = (12, 10, 8, 8, 8, 10, 16, 28, 42, 55, 62, 66, 64, 60, 58, 60, 64, 70, 76, 80, 72, 52, 34, 20)

SCHEMA = """
CREATE TABLE IF NOT EXISTS customers (
    customer_id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, city TEXT NOT NULL, joined_on TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS products (
    product_id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, unit_price DECIMAL(10, 2) NOT NULL,
    weight_kg REAL);
CREATE TABLE IF NOT EXISTS orders (
    order_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers, ordered_at TEXT NOT NULL,
    status TEXT NOT NULL, discount DECIMAL(4, 2), note TEXT);
CREATE TABLE IF NOT EXISTS order_items (
    order_id INTEGER NOT NULL REFERENCES orders, line INTEGER NOT NULL, product_id INTEGER NOT NULL REFERENCES products,
    quantity INTEGER NOT NULL, unit_price DECIMAL(10, 2) NOT NULL, PRIMARY KEY (order_id, line));
CREATE INDEX IF NOT EXISTS orders_by_time ON orders (ordered_at);
"""

GIVEN = [
    "Ada",
    "Björn",
    "Chloé",
    "Dmitri",
    "Esra",
    "Femi",
    "Giulia",
    "Hana",
    "Ines",
    "João",
    "Kofi",
    "Łucja",
    "Mei",
    "Nils",
]
FAMILY = [
    "Andersson",
    "D'Angelo",
    "García",
    "Ivanova",
    "Nguyễn",
    "O'Brien",
    "Okafor",
    "Smith",
    "van der Berg",
    "Yılmaz",
]
WHOLE = ["王小明", "李娜", "佐藤 健", "鈴木 さくら", "김민준", "陳大文", "Zoë “Zo” Müller", 'Robert "Bob" Tables']
CITIES = ["Berlin", "Lagos", "Lisboa", "München", "New York", "Paris", "São Paulo", "上海", "東京", "서울"]
PRODUCTS = [
    ("Kettle, 1.7 l", "kitchen"), ('Pan 28 cm "Nordic"', "kitchen"), ("Chef's knife", "kitchen"), ("茶壶", "kitchen"),
    ("Teapot; cast iron", "kitchen"), ("抹茶 100 g", "food"), ("Olive oil, 500 ml", "food"), ("Café 1 kg", "food"),
    ("Dark chocolate 85 %", "food"), ("海苔", "food"), ("Desk lamp", "home"), ("Blanket, 140 × 200", "home"),
    ("Mug\twith a tab", "home"), ("Candle\n(two lines)", "home"), ("Notebook A5", "paper"), ("原稿用紙", "paper"),
    ("Fountain pen", "paper"), ("Stickers =SUM(1,2)", "paper"), ("Umbrella", "travel"), ("Rucksack 20 l", "travel"),
]  # fmt: skip
STATUSES = ["paid", "paid", "paid", "shipped", "shipped", "canceled"]
NOTES = ["Leave at the door", "請在下午送達", 'Say "hello"', "Gift, no receipt", "Ring twice;\nthen wait", ""]


def customer(number: int) -> tuple[object, ...]:
    dice = random.Random(f"customer {number}")  # noqa: S311
    name = dice.choice(WHOLE) if dice.random() < 0.2 else f"{dice.choice(GIVEN)} {dice.choice(FAMILY)}"
    email = None if dice.random() < 0.15 else f"customer{number}@example.com"
    joined = datetime.fromtimestamp(1_500_000_000 + dice.randrange(200_000_000), UTC).date().isoformat()
    return number, name, email, dice.choice(CITIES), joined


def product(number: int) -> tuple[object, ...]:
    dice = random.Random(f"product {number}")  # noqa: S311
    name, category = PRODUCTS[number - 1]
    weight = None if dice.random() < 0.2 else round(dice.uniform(0.05, 4), 3)
    return number, name, category, dice.randrange(190, 14_990) / 100, weight


def order(slot: int) -> tuple[tuple[object, ...], list[tuple[object, ...]]] | None:
    """The order of a slot with its lines, or None when there was none. Its id is the slot's number."""
    dice = random.Random(f"order {slot}")  # noqa: S311
    instant = datetime.fromtimestamp(slot * SLOT_SECONDS + dice.randrange(SLOT_SECONDS), UTC)
    if dice.randrange(100) >= BUSY[instant.hour]:
        return None
    discount = dice.choice([5, 7.5, 10, 12.25]) if dice.random() < 0.2 else None
    note = dice.choice(NOTES) if dice.random() < 0.3 else None
    when = instant.strftime("%Y-%m-%d %H:%M:%S")
    head = (slot, 1 + dice.randrange(CUSTOMERS), when, dice.choice(STATUSES), discount, note)
    lines: list[tuple[object, ...]] = []
    for line in range(1, 1 + dice.choice([1, 1, 2, 2, 3, 5])):
        number = 1 + dice.randrange(len(PRODUCTS))
        lines.append((slot, line, number, dice.choice([1, 1, 1, 2, 3, 10]), product(number)[3]))
    return head, lines


def top_up(path: Path, now: datetime) -> int:
    """Add the orders of all slots that are over by now; answers how many were added."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30)
    try:
        # An export may read for minutes: with a write-ahead log neither waits for the other.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
        over = int(now.timestamp()) // SLOT_SECONDS
        (newest,) = connection.execute("SELECT max(order_id) FROM orders").fetchone()
        first = over - HISTORY_SLOTS if newest is None else newest + 1
        found = [made for slot in range(first, over) if (made := order(slot))]
        with connection:
            if newest is None:
                known = [customer(number) for number in range(1, CUSTOMERS + 1)]
                connection.executemany("INSERT OR IGNORE INTO customers VALUES (?, ?, ?, ?, ?)", known)
                wares = [product(number) for number in range(1, len(PRODUCTS) + 1)]
                connection.executemany("INSERT OR IGNORE INTO products VALUES (?, ?, ?, ?, ?)", wares)
            connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", [head for head, _ in found])
            lines = [line for _, lines in found for line in lines]
            connection.executemany("INSERT INTO order_items VALUES (?, ?, ?, ?, ?)", lines)
        return len(found)
    finally:
        connection.close()


def keep_up(path: Path, stopped: threading.Event) -> threading.Thread:
    """Keep the shop open while the stack runs."""

    def run() -> None:
        while not stopped.wait(REFRESH_SECONDS):
            top_up(path, datetime.now(UTC))

    thread = threading.Thread(target=run, name="shop", daemon=True)
    thread.start()
    return thread

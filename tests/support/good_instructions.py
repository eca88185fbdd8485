"""Instructions that a person wrote for two samples, which the offline learner does well with."""

GOOD_ROUTE = """Route the message to one queue. The first rule that fits wins.
1. Refunds of a gift card go to billing.
2. A lawyer, legal action, a formal complaint, a solicitor, the press, a journalist or a manager goes to escalation.
3. Anything that asks for a refund or money back goes to retention, even if the cause is a late parcel or an outage.
4. If the service is down, offline, unavailable or has an outage: escalation when the plan is enterprise, otherwise
technical.
5. Password, login, sign in, codes, two-factor, phishing, suspicious mail and access go to security.
6. Cancel, closing the account, leaving, switching, downgrade or not renewing goes to retention.
7. Cracked, broken, damaged or smashed displays, screens and glass go to shipping, as do parcels, delivery, courier,
tracking, shipment and orders.
8. Invoices, bills, charges, payments, VAT and receipts go to billing.
9. Everything else, such as sync, calendar, app or firmware bugs, goes to technical."""

GOOD_JUDGE = """Say what the review is about and how the writer feels.
Aspect:
- delivery: delivery, shipping, courier, parcel, tracking, arrived, packaging and box.
- price: price, money, expensive, cheap, bargain, value, cost, euros, worth.
- durability: broke, broken, sturdy, lasts, snapped, seams, zip, cracked, build, solid, daily use.
- comfort: comfortable, soft, warm, heavy, smell, fits, padding, itches, pinches, hurts, feels.
- service: support, customer service, refund, exchange, return, manual and instructions.
- looks: colour, design, photo, pretty, beautiful, ugly, stain, print, green.

Sentiment is neutral for a gift, for a thing not opened, not unpacked or where the writer haven't used, worn or tried it,
for no opinion, review will follow, will update, and for questions: '?', 'anyone'.
Sentiment is negative for sarcasm: 'bravo', 'well done', 'thanks a lot'.
Sentiment is mixed for three stars, and when praise and complaint are joined by 'but', 'although', 'though' or 'however',
unless delivery, courier, parcel, packaging, arrived or shipping come up: then it is negative.
Sentiment is negative for disappointed, broke, broken, never again, expensive, late, waste, ugly, annoyed, sending back.
Sentiment is positive for love, great, happy, recommended, beautiful, friendly, fast, bargain, soft, would buy, lovely."""

"""The words that the corpus of mails is written with (`corpus_mail`), by language. All made up."""
# ruff: noqa: RUF001, SIM905 - words of many languages, as texts: lists of them would fill pages

__all__ = ["OTHER_WORDS", "WORDS"]

WORDS = (
    "order parcel invoice delivery printer account password refund colour size broken arrived yesterday please could you tell "
    "me when the new one will be sent because I have been waiting for two weeks and nobody answers thank you very much for "
    "your help it does not start any more after the update we tried everything in the manual the light blinks red three times "
    "and then it is off again"
).split()
OTHER_WORDS = {
    "de": (
        "Guten Tag leider ist meine Bestellung noch nicht angekommen können Sie mir bitte sagen wann die Lieferung erfolgt größere Straße"
    ).split(),
    "fr": "Bonjour je n'ai pas reçu ma commande pourriez-vous me dire où elle se trouve merci d'avance très déçu été".split(),
    "ja": "お世話になっております 注文した商品が まだ届いていません 確認を お願いいたします よろしくお願いします".split(),
    "zh": "您好 我的订单 还没有收到 请帮我查询一下 物流信息 谢谢 退款 什么时候 到账".split(),
    "ru": "Здравствуйте мой заказ ещё не пришёл подскажите пожалуйста когда его доставят спасибо большое".split(),
}

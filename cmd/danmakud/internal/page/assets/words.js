// What a comment reads as. Whatever comes out is shown as text.

/** The text of a comment of any kind, with how often it was said. */
export function wordsOf(comment) {
  const text = String(comment.text ?? '');
  const times = comment.count > 1 ? ` ×${Number(comment.count).toLocaleString('en')}` : '';
  if (comment.kind !== 'gift') return text + times;
  const gift = `${comment.gift ?? 'a gift'} ×${Number(comment.num) || 1}`;
  return (text ? `${gift} ${text}` : gift) + times;
}

"""corpus - thirty short texts of four subjects, English and Russian, with the traps of tokenising in them.

Written for this project. (text, class); class -1 is noise.
"""

TEXTS = [
    ("The team won the cup in the last game of the season, and the team's captain scored twice.", 0),
    ("Football teams from all over the world play in the group stage; the season's games go on until June.", 0),
    ("In the 2nd half the goalkeeper saved a penalty. What a game! GAME over, they said.", 0),
    ("The coach of the team said: \"We'll play better next season.\"", 0),
    ("Сборная выиграла кубок: команда сыграла лучший матч сезона.", 0),
    ("Команда забила три гола, тренер команды доволен игрой. Матч! МАТЧ! матч?", 0),
    ("Вратарь отбил пенальти во втором тайме; болельщики команды ликовали весь вечер.", 0),
    ("Mix the flour with butter and sugar, add two eggs, then bake for 25 minutes at 180 degrees.", 1),
    ("Serve the soup hot with fresh bread, olive oil and a glass of wine.", 1),
    ("Coffee and chocolate go well together; cheese goes well with wine, and bread with everything.", 1),
    ("A good cheese needs time, like a good wine. Café crème brûlée, naïve jalapeño.", 1),
    ("Добавьте муку, масло и сахар, затем выпекайте пирог двадцать пять минут.", 1),
    ("Подавайте суп горячим, с чёрным хлебом и зеленью. Ещё ёлка, ежик и ёжик.", 1),
    ("Сварите кофе, добавьте молоко и сахар — и подавайте с шоколадом.", 1),
    ("Декомпозиция: чи\u0438\u0306 и чай, е\u0308лка и ёлка, cafe\u0301 and café.", 1),
    ("int main(void) { int sum_of_values = 0; for (int i = 0; i < n; i++) sum_of_values += values[i]; return 0; }", 2),
    ("The function returns a pointer to the value, or NULL when the key is not in the table.", 2),
    ("Compile with -O2 and link the library; the compiler warns when a pointer is not initialised.", 2),
    ("A hash table maps a key to a value. The table grows when it is full, so that a key is found fast.", 2),
    ("def f(x): return x ** 2  # x_1, x_2 and __init__ are words, too; C++ and C# are not", 2),
    ("Функция возвращает указатель на значение или NULL, если ключа в таблице нет.", 2),
    ("Компилятор предупреждает, когда указатель не инициализирован. Указатель = 0x1F.", 2),
    ("The patients received the vaccine in 2021; the infection rate fell by 40%.", 3),
    ("Bacteria with resistance genes were isolated from cattle; 12 strains of E. coli carried the gene.", 3),
    ("The gene was found in all isolates. Genes of resistance spread between species of bacteria.", 3),
    ("Пациенты получили вакцину; число заражений снизилось на сорок процентов.", 3),
    ("Гены устойчивости найдены у всех штаммов бактерий, выделенных у скота.", 3),
    ("", -1),
    ("a I я 7 ! — ...", -1),
    ("日本語 日本 अनुभव x² ½ 1st Straße STRASSE", -1),
]

# Only tokenised, not weighed: what Python's lower-casing does beyond one character for one character.
CASES = ["İstanbul ISTANBUL ıstanbul", "ΣΊΣΥΦΟΣ σίσυφος ΟΔΟΣ", "ǅungla ǄUNGLA", "ﬁlm ﬀ", "K Å Ω", "rock'n'roll it's", "a_b _x __", "1.5 ٣٤ ⅷ Ⅷ",
         "अनुभव हिन्दी में", "中文Python三月3月 用 人工智能。", "人々は〇〇年 コンピューターで、にほんごを学ぶ", "葛\U000E0100飾 か\u309A゜き ｶﾀｶﾅ ﾎﾟ",
         "한국어 문장", "مُدَرِّس שָׁלוֹם", "a\u0301\u0323 x\u20DDy", "\u0301ab 中\u0301国", "𠮷野家 ㍿ ㋐",
         "ประเทศไทย น้ำใจ มา ก ปี๒๕๖๗ไทยGPUเร็ว ๆ", "ປະເທດລາວ ເຂົ້າ", "ភាសាខ្មែរ កម្ពុជា ១២៣", "မြန်မာနိုင်ငံ ခွင့်ပြု ဗုဒ္ဓ ၁၉ က", "ไทยລາວខ្មែរ中文",
         "ไ ท เ", "ี่ไป ก\u200Bข"]
